"""Examples print what they say, the service does what its page says, the site builds."""
