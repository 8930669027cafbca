"""Reading what Prometheus would read."""

from collections.abc import Iterable

from prometheus_client.parser import text_string_to_metric_families

SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}


class Scrape:
    """One scrape, parsed as Prometheus parses it."""

    def __init__(self, text: bytes) -> None:
        self.text = text.decode()
        self.families = list(text_string_to_metric_families(self.text))
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """The value with exactly these labels."""
        return self.samples[name, frozenset(labels.items())]

    def get(self, name: str, **labels: str) -> float:
        """The same; 0 if there is none yet."""
        return self.samples.get((name, frozenset(labels.items())), 0.0)

    def types(self) -> dict[str, str]:
        """The type of what each sample belongs to, by its name; also of those yet to come."""
        return {
            family.name + suffix: family.type
            for family in self.families
            for suffix in SUFFIXES[family.type]
        }

    def family_names(self) -> Iterable[str]:
        """Names of the families, in order."""
        return [family.name for family in self.families]

    def labels_of(self, name: str) -> set[str]:
        """Names of labels that samples of a name have."""
        return {label for known, labels in self.samples if known == name for label, _ in labels}

    def buckets(self, name: str, **labels: str) -> list[tuple[float, float]]:
        """Upper bounds and cumulative counts of a histogram."""
        wanted = set(labels.items())
        found = [
            (float(bound), value)
            for (known, having), value in self.samples.items()
            if known == f"{name}_bucket" and wanted <= having
            for label, bound in having
            if label == "le"
        ]
        return sorted(found)
