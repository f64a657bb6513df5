/// What always holds, or a run ends with it. The name says which; each is counted as often as it was looked at.
enum Invariant: String, CaseIterable, Sendable {
  /// A record is the next of its batch, and its fact may follow what came before.
  case history
  /// Nothing is said, launched or handed out before what it rests on is durable.
  case durable
  /// What was durable is what a new process has.
  case recovery
  /// The parts of a batch add up.
  case counts
  /// Everything comes to an end.
  case ending
  /// The executor is asked for what it has, once, and an answered cancel has ended what it names.
  case attempts
  /// Namespaces see and change nothing of one another.
  case namespaces
  /// No more is promised than there is, or than a quota allows.
  case room
  /// Nothing waits that fits into what is free and into its quota.
  case idleRoom
  /// Who is called stuck is; an end has its own cause.
  case causes
  /// What Diagnose says for a while is in the history, and whoever is to be told was told.
  case saidAloud
  /// A timeout holds, and not before its time; a pause is no time.
  case deadlines
  /// The grace that a caller gave is not shortened by anybody else.
  case graces
  /// A paused batch gives up what its idle attempts hold.
  case pauses
  /// What auto_heal did in vain it does not do again.
  case heals
  /// An orphan is reclaimed once.
  case reclaims
  /// The rules of a job decide, with all of their budget, and memory is raised for want of memory alone.
  case rules
  /// One bad document is left out, and the rest is done.
  case poison
  /// A document is accused of nothing that it had no part in.
  case accusations
  /// A finding has the cause, the category and the document that the world knows.
  case findings
  /// What was reported twice counts once.
  case repetition
  /// What is completed was made of what stands in the tiers before.
  case staleness
  /// How many shards an extractor has changes nothing of how it ends.
  case shards
  /// What is advised starts nothing again that an operator cancelled.
  case advice
  /// An estimate is within a factor of three, or unknown.
  case estimates
}
