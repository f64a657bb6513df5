#include "CCauses.h"

#pragma clang diagnostic ignored "-Wc23-extensions"

static const unsigned char causes[] = {
#embed "causes.jsonl"
};

const unsigned char *mend_causes(void) { return causes; }

size_t mend_causes_size(void) { return sizeof causes; }
