// The messages of the calls: a user of MendClient needs no other import.

@_exported public import MendAPI
@_exported public import MendProtobuf
