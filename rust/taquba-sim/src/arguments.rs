//! What the command was asked.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

/// A command, its files, and its options: `--name value`.
pub struct Arguments {
    words: Vec<String>,
    options: BTreeMap<String, String>,
}

impl Arguments {
    pub fn of(arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut words, mut options) = (Vec::new(), BTreeMap::new());
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.strip_prefix("--") {
                None => words.push(argument),
                Some(name) => {
                    let value =
                        arguments.next().ok_or_else(|| format!("`--{name}` wants a value"))?;
                    options.insert(name.to_owned(), value);
                }
            }
        }
        if words.is_empty() {
            return Err("say what to do: `lane-a`, `lane-b`, `hostile` or `check`".to_owned());
        }
        Ok(Self { words, options })
    }

    pub fn command(&self) -> &str {
        &self.words[0]
    }

    pub fn files(&self) -> &[String] {
        &self.words[1..]
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    pub fn number<T: FromStr>(&self, name: &str, default: T) -> Result<T, String> {
        match self.options.get(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("`--{name} {text}` is no number")),
        }
    }

    /// `--seeds 3..7`: 3, 4, 5 and 6.
    pub fn seeds(&self, default: Range<u64>) -> Result<Range<u64>, String> {
        let Some(text) = self.options.get("seeds") else { return Ok(default) };
        let (start, end) = text.split_once("..").unwrap_or((text, ""));
        let read = |text: &str| text.parse::<u64>().ok();
        match (read(start), read(end)) {
            (Some(start), Some(end)) if start < end => Ok(start..end),
            _ => Err(format!("`--seeds {text}` is no range: write `0..1000`")),
        }
    }
}
