/* SPDX-License-Identifier: Apache-2.0 */
/* Reads IDX files, the format of MNIST and its relatives: big-endian magic number 0x0000TTDD
 * (TT: type, here always 0x08, unsigned bytes; DD: dimensions), then DD sizes of 32 bits, then the
 * values, last dimension fastest. Source: http://yann.lecun.com/exdb/mnist, "the IDX file format".
 *
 * A file may be plain or compressed with gzip, under any name. The sizes in its header are compared
 * with the size of the file before memory is allocated, and the file must end with its data. Every
 * failure logs one line with the file, the value found and the value expected. */
#ifndef SGP_DATA_FORMATS_IDX_H
#define SGP_DATA_FORMATS_IDX_H

#include <sgp/status.h>
#include <stddef.h>
#include <stdint.h>

#define IDX_MAX_DIMS 4

typedef struct idx_header {
    int dims;
    uint32_t shape[IDX_MAX_DIMS]; /* (dims) outermost first, each >= 1 */
    size_t bytes;                 /* product of the shape */
} idx_header_t;

/* Reads only the header. dims: required dimensions, 1..IDX_MAX_DIMS.
 * SGP_ERR_NOT_FOUND: no such file. SGP_ERR_IO: it cannot be read. SGP_ERR_FORMAT: it is damaged or
 * has another format. SGP_ERR_NO_MEMORY. *header is set only on success. */
sgp_status_t idx_read_header(const char *path, int dims, idx_header_t *header);

/* Reads everything. Errors as above. *values (header->bytes) is the
 * caller's, to be released with free; both are set only on success. */
sgp_status_t idx_read(const char *path, int dims, idx_header_t *header, uint8_t **values);

#endif
