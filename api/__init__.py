"""The HTTP service: announces uploads, shows jobs, and says whether everything works. It never touches a pixel."""
