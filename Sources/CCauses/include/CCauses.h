#ifndef MEND_CAUSES_H
#define MEND_CAUSES_H

#include <stddef.h>

// The built-in catalogue of causes: causes.jsonl, as it stands beside the source.
const unsigned char *mend_causes(void);
size_t mend_causes_size(void);

#endif
