"""What is promised: the folder's models, their canonical form, the ledger, and the seals."""
