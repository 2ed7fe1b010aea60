"""The commands, one file each: parse, call the library, print. Their modules import nothing heavy at the top."""
