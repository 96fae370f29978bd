/* SPDX-License-Identifier: Apache-2.0 */
/* The headers of tar files: ustar (POSIX.1-1988), with the extensions of POSIX.1-2001 (pax) and GNU for long names and
 * large sizes, as GNU tar, Python's tarfile and so WebDataset write them. Pure functions over bytes but for tar_next,
 * which reads a file. Source: POSIX, pax, "ustar Interchange Format" and "pax Extended Header". */
#ifndef SGP_DATA_FORMATS_TAR_H
#define SGP_DATA_FORMATS_TAR_H

#include <sgp/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TAR_BLOCK = 512, TAR_NAME = 1024, TAR_PROBLEM = 160 };

typedef struct tar_member {
    char name[TAR_NAME]; /* a longer one is cut; control characters are '?' */
    uint64_t
        header;    /* where its header block begins, a multiple of TAR_BLOCK; the data follow it */
    uint64_t size; /* bytes of data */
    char type;     /* '0': a file; '5' a directory, '1' and '2' links, ... */
} tar_member_t;

/* Walks over the members of an open file by reading their headers alone. */
typedef struct tar_reader {
    int file;                  /* borrowed */
    uint64_t size;             /* of the file */
    uint64_t at;               /* of the next header */
    char problem[TAR_PROBLEM]; /* of the last failure, a clause: "ends in the middle of x.jpg" */
} tar_reader_t;

/* Sets *end at the end of the archive, else *member. SGP_ERR_FORMAT: damaged, or it ends without the end mark or in
 * the middle of a member. SGP_ERR_IO: it cannot be read. Nothing is logged. */
sgp_status_t tar_next(tar_reader_t *reader, tar_member_t *member, bool *end);

/* One header block. false: the checksum is wrong, or a number is none. Sets name, size and type. */
bool tar_parse(const uint8_t block[TAR_BLOCK], tar_member_t *member);

/* The header of a file of mode 0444, user root, and this time in seconds since 1970. false: the name takes more than
 * 100 bytes, or the size more than 8 GiB. */
bool tar_format(const char *name, uint64_t size, uint64_t time, uint8_t block[TAR_BLOCK]);

/* Bytes of data with the padding behind them. */
static inline uint64_t tar_padded(uint64_t size) {
    return (size + TAR_BLOCK - 1) / TAR_BLOCK * TAR_BLOCK;
}

#endif
