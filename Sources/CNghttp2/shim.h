/* nghttp2.h uses ssize_t without including what declares it. */
#include <sys/types.h>
#include <nghttp2/nghttp2.h>
