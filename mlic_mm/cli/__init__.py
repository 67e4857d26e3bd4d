"""How commands read their options and end."""
