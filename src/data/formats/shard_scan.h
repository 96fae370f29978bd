/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the index of a shard from the shard itself. */
#ifndef SGP_DATA_FORMATS_SHARD_SCAN_H
#define SGP_DATA_FORMATS_SHARD_SCAN_H

#include "data/formats/shard_index.h"

/* Reads all headers and labels. file: open for reading. On failure problem reads "ends in the
 * middle of x.jpg: ...", to stand behind the name of the shard. SGP_ERR_FORMAT: damaged, cut, a sample without picture
 * or label, or no sample at all. SGP_ERR_IO, SGP_ERR_NO_MEMORY. Logs nothing; call shard_index_fini in any case. */
sgp_status_t shard_scan(int file, uint64_t tar_bytes, shard_index_t *index,
                        char problem[SHARD_INDEX_PROBLEM]);

#endif
