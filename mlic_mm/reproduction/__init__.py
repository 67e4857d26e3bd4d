"""Tables of the papers, the runs that fill them, and the page that shows both."""
