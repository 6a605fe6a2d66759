"""Result rows in the forms of other tools."""
