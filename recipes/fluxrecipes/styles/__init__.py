"""Forms of files that other products have, in which the record can be exported."""
