"""All lanes of the reliability suite, one after another, and the page that records them."""
