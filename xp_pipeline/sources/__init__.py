"""Sources: reading rows wherever they are, holding them to their contract, and versioning what is clean."""
