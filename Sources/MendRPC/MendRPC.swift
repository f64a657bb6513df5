// The module's contents arrive with its first working version.
