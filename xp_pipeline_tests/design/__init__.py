"""Planning against published sample sizes."""
