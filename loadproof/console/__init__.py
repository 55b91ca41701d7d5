"""Values to text. The only place where text that came from hosts is made safe for a terminal."""
