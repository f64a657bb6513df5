import Testing

@testable import MendExecutors

@Suite struct CommandLineTextTests {
  static let key = "-----BEGIN KEY-----\nMIIsecretbody+of/some=length\n-----END KEY-----"
  static let environment = [
    "KEY": key + "\n", "TOKEN": "t0psecret", "OPTIONS": "--user  me --password hunter2", "SHORT": "abc",
    "PATH": "/usr/bin",
  ]

  @Test(
    "values of the job's own variables are names, however a shell hands them on",
    arguments: [
      (["tool", "--token", "t0psecret", "abc", "/usr/bin"], "tool --token $TOKEN abc /usr/bin"),
      (["tool", "--token=t0psecret"], "tool --token=$TOKEN"),
      // Quoted, quoted by $(cat), and not quoted at all.
      (["tool", "--key", key + "\n", "x"], "tool --key $KEY x"),
      (["tool", "--key=" + key], "tool --key=$KEY"),
      (["tool", "-----BEGIN", "KEY-----", "MIIsecretbody+of/some=length", "-----END", "KEY-----", "x"], "tool $KEY x"),
      (["tool", "--user", "me", "--password", "hunter2"], "tool $OPTIONS"),
      // What it is put together with, and a line of it alone.
      (["sh", "-c", "echo '\(key)' | tool\nexit"], "sh -c echo '$KEY' | tool exit"),
      (["tool", "MIIsecretbody+of/some=length"], "tool $KEY"),
      (["tool", "", ""], "tool"), ([], ""),
    ] as [([String], String)])
  func hidden(arguments: [String], text: String) {
    #expect(CommandLineText.text(arguments, hiding: Self.environment) == text)
  }
}
