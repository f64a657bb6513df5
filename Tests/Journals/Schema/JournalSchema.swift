// What schemac makes of `Sources/MendJournal/journal.proto`: another reader of what the program writes.
