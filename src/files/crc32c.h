/* SPDX-License-Identifier: Apache-2.0 */
/* CRC-32C (Castagnoli), source: RFC 3720; of "123456789" it is 0xe3069283. Computed bit by bit, for
 * short records. */
#ifndef SGP_FILES_CRC32C_H
#define SGP_FILES_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *bytes, size_t count);

#endif
