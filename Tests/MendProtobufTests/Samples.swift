import MendProtobuf

enum Samples {
  static let scalars = Scalars {
    $0.double = -0.1
    $0.float = 1.5e-7
    $0.int32 = .min
    $0.int64 = .min
    $0.uint32 = .max
    $0.uint64 = .max
    $0.sint32 = -1
    $0.sint64 = .min
    $0.fixed32 = 0xdead_beef
    $0.fixed64 = 1
    $0.sfixed32 = -2
    $0.sfixed64 = .max
    $0.bool = true
    $0.string = "grün 🌱"
    $0.bytes = [0, 255, 128]
    $0.mood = .inLove
  }

  /// Every field is set.
  static let kinds = Kinds {
    $0.optionalNumber = 0
    $0.optionalText = ""
    $0.scalars = scalars
    $0.optionalMood = .unspecified
    $0.numbers = [0, 1, -1, 300]
    $0.unpackedNumbers = [0, -1, .max]
    $0.doubles = [0, .pi, -0.0]
    $0.flags = [true, false, true]
    $0.texts = ["", "a", "bc"]
    $0.blobs = [[], [1]]
    $0.moods = [.fine, .unrecognized(99), .negative]
    $0.manyScalars = [Scalars(), scalars]
    $0.fixedNumbers = [1, .max]
    $0.counts = ["": 0, "b": 2, "a": -1]
    $0.scalarsByID = [-1: scalars, 7: Scalars()]
    $0.moodsByFlag = [true: .good, false: .unspecified]
    $0.blobsByNumber = [-5: [5], 6: []]
    $0.subject = .kinds(Kinds { $0.subject = .number(0) })
    $0.tree = tree
    $0.settings = GoogleStruct { $0.fields = ["deep": GoogleValue { $0.kind = .listValue(GoogleListValue()) }] }
    $0.wrapped = GoogleInt64Value()
    $0.default = "d"
    $0.self_ = "s"
    $0.batchID = "b"
    $0.sourceURI = "u"
    $0.jobIDs = ["j"]
    $0.old = 1
  }

  static let tree = Tree {
    $0.weight = 1
    $0.left = Tree { $0.weight = 2 }
    $0.right = Tree { $0.right = Tree() }
    $0.branch = Tree.Branch {
      $0.kind = .leaf
      $0.tree = Tree { $0.more = [Tree(), Tree { $0.weight = 3 }] }
    }
  }
}

extension String {
  /// Bytes from hexadecimal digits; blanks are left out.
  var bytes: [UInt8] {
    let digits = Array(filter { !$0.isWhitespace })
    return stride(from: 0, to: digits.count, by: 2).compactMap { start in
      UInt8(String(digits[start..<min(start + 2, digits.count)]), radix: 16)
    }
  }
}
