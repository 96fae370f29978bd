/* SPDX-License-Identifier: Apache-2.0 */
#include "base/abi.h"

#include "base/logging.h"

#include <string.h>

/* Beyond this a size is a mistake, not a struct of some later version. */
#define MOST ((size_t)4096)

sgp_status_t sgp_abi_check(const char *name, size_t their_size, size_t least) {
    if (their_size >= least && their_size <= MOST && their_size % 4 == 0) return SGP_OK;
    return sgp_fail(SGP_ERR_INVALID,
                    "%s: a struct of %zu bytes: must be its sizeof, %zu or more in any version",
                    name, their_size, least);
}

sgp_status_t sgp_abi_read(const char *name, const void *theirs, size_t their_size, void *ours,
                          size_t our_size, size_t least) {
    if (!theirs) return sgp_fail(SGP_ERR_INVALID, "%s: no struct given (NULL)", name);
    sgp_status_t status = sgp_abi_check(name, their_size, least);
    if (status != SGP_OK) return status;
    const unsigned char *bytes = theirs;
    for (size_t i = our_size; i < their_size; i++)
        if (bytes[i])
            return sgp_fail(SGP_ERR_INVALID,
                            "%s: byte %zu of %zu is set, and sgp %s knows %zu: the option needs a "
                            "newer libsgp",
                            name, i, their_size, SGP_VERSION, our_size);
    memset(ours, 0, our_size);
    memcpy(ours, theirs, their_size < our_size ? their_size : our_size);
    return SGP_OK;
}

void sgp_abi_write(const void *ours, size_t our_size, void *theirs, size_t their_size) {
    memset(theirs, 0, their_size);
    memcpy(theirs, ours, their_size < our_size ? their_size : our_size);
}
