//! The words by which a name is told from what surrounds it. All in lower case.

/// Words that are no part of a name: a name ends before them, and where one comes first there is none.
#[rustfmt::skip]
pub(super) const NO_NAMES: &[&str] = &[
    "a", "about", "actually", "afraid", "after", "again", "all", "almost", "already", "also",
    "always", "an", "and", "any", "are", "as", "asking", "at", "aware", "back", "based", "because",
    "been", "before", "being", "both", "but", "by", "calling", "can", "come", "coming", "common",
    "complicated", "confident", "correct", "currently", "different", "difficult", "do", "doing",
    "don't", "done", "easy", "either", "every", "excited", "familiar", "fine", "for", "from",
    "getting", "glad", "going", "gonna", "good", "great", "happy", "hard", "have", "having", "he",
    "hello", "her", "here", "hi", "his", "how", "i", "if", "important", "in", "interested", "is",
    "it", "its", "joining", "just", "let", "like", "listening", "long", "looking", "majoring", "me",
    "misspelled", "more", "most", "my", "neither", "never", "nice", "no", "not", "now", "of", "off",
    "often", "ok", "okay", "on", "one", "only", "or", "our", "out", "over", "please", "pleased",
    "pretty", "probably", "pronounced", "quite", "rare", "rarely", "ready", "really", "right",
    "same", "saying", "seldom", "she", "short", "simple", "so", "some", "sorry", "speaking",
    "spelled", "spelt", "still", "studying", "sure", "talking", "thank", "thanks", "that", "the",
    "their", "then", "there", "they", "thinking", "this", "to", "today", "too", "trying", "under",
    "unusual", "up", "us", "using", "usually", "very", "was", "we", "welcome", "well", "what",
    "where", "which", "who", "will", "with", "wondering", "working", "would", "written", "wrong",
    "yes", "you", "your",
];

/// Those of [`NO_NAMES`] that are names too, when capitalised.
#[rustfmt::skip]
pub(super) const ALSO_NAMES: &[&str] = &[
    "an", "do", "in", "long", "my", "so", "will",
];

/// Capitalised words after "I am" that say what somebody is, not who.
#[rustfmt::skip]
pub(super) const NATIONS_AND_TRADES: &[&str] = &[
    "african", "american", "arab", "asian", "australian", "austrian", "belgian", "brazilian",
    "british", "buddhist", "bulgarian", "canadian", "catholic", "chinese", "croatian", "czech",
    "danish", "developer", "dutch", "egyptian", "engineer", "english", "european", "finnish",
    "french", "german", "greek", "hindu", "hungarian", "indian", "indonesian", "iranian", "irish",
    "israeli", "italian", "japanese", "java", "javascript", "jewish", "junior", "korean",
    "malaysian", "manager", "mexican", "muslim", "norwegian", "pakistani", "polish", "portuguese",
    "product", "project", "python", "romanian", "russian", "scottish", "senior", "software",
    "spanish", "swedish", "swiss", "taiwanese", "thai", "turkish", "ukrainian", "vietnamese",
    "welsh",
];

/// Words in lower case that belong to the name after them.
#[rustfmt::skip]
pub(super) const PARTICLES: &[&str] = &[
    "al", "bin", "da", "de", "del", "della", "der", "di", "dos", "du", "el", "ibn", "la", "le",
    "ten", "ter", "van", "von",
];

/// Abbreviations within names: the dot after them ends no sentence.
#[rustfmt::skip]
pub(super) const TITLES: &[&str] = &[
    "dr", "jr", "mr", "mrs", "ms", "prof", "sr", "st",
];

/// Words before "I am" that make it no introduction.
#[rustfmt::skip]
pub(super) const AFTER_CONDITION: &[&str] = &[
    "how", "if", "like", "than", "unless", "until", "what", "when", "where", "whether", "who",
];
