/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for all that libcrypto allocates, left out of core dumps: the key schedules of connections are in there (wire/seal.h), which
 * libcrypto keeps to itself. A property of the whole process, so the program sets it, and libsgp never does. Called by main. */
#ifndef SGP_CLI_CRYPTO_MEMORY_H
#define SGP_CLI_CRYPTO_MEMORY_H

#include <stdbool.h>

/* Before libcrypto is used. false: another library has used it, or there is no memory; libcrypto then uses malloc, and works as
 * well. */
bool crypto_memory_hide(void);

#endif
