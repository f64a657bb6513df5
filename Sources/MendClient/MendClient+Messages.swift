// What calls take and answer: who imports MendClient needs no other module.

@_exported public import MendAPI
@_exported public import MendProtobuf
