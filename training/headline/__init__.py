"""The headline model: data-to-text from nothing that generalises to combinations it has never seen."""
