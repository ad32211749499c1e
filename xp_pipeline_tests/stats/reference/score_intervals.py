"""Published score intervals for two proportions: (x1, n1, x2, n2) of treatment and control, lower, upper, decimals."""

# Miettinen-Nurminen 95 % intervals of p1 - p2. Four places: Newcombe 1998 (Stat. Med. 17, 873-890), table II, examples
# a to h. Eight and seven places: example 5 of Miettinen, Nurminen 1985 (Stat. Med. 4, 213-226) and an example of R, as
# the tests of mergeron_extra give them. Last: the data of Ritland et al. 2007 in Fagerland, Lydersen, Laake 2017
# (Statistical Analysis of Contingency Tables, chapter 4), as the tests of its R package contingencytables give it.
DIFFERENCES = [
    ((56, 70, 48, 80), 0.0528, 0.3382, 4),
    ((9, 10, 3, 10), 0.1700, 0.8406, 4),
    ((6, 7, 2, 7), 0.0342, 0.8534, 4),
    ((5, 56, 0, 29), -0.0326, 0.1933, 4),
    ((0, 10, 0, 20), -0.1658, 0.2844, 4),
    ((0, 10, 0, 10), -0.2879, 0.2879, 4),
    ((10, 10, 0, 20), 0.7156, 1.0, 4),
    ((10, 10, 0, 10), 0.6636, 1.0, 4),
    ((0, 10, 0, 20), -0.16576023, 0.28438134, 8),
    ((10, 10, 20, 20), -0.28438134, 0.16576023, 8),
    ((3, 29, 6, 36), -0.2369807, 0.1227832, 7),
    ((0, 16, 15, 72), -0.3164, -0.0056, 4),
]

# Miettinen-Nurminen 95 % intervals of p1 / p2. First: the data of Perondi et al. 2004, from the same chapter and
# package. Then the examples of Fagerland, Newcombe 2013 (Stat. Med. 32, 2823-2836), as the tests of ratesci give them.
RATIOS = [
    ((7, 34, 1, 34), 1.2086, 43.0330, 4),
    ((24, 73, 53, 65), 0.280, 0.560, 3),
    ((29, 55, 11, 11), 0.397, 0.742, 3),
    ((7, 18, 1, 18), 1.296, 42.544, 3),
]
