"""Raw files of one trial to Arrow tables: never a crash on a missing or cut file, never silently fewer rows."""
