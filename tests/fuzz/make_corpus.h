/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of make_corpus share. */
#ifndef SGP_TESTS_FUZZ_MAKE_CORPUS_H
#define SGP_TESTS_FUZZ_MAKE_CORPUS_H

#include "fuzz.h"

/* An input in the making; zeros are an empty one. */
typedef struct bytes {
    unsigned char at[8192];
    size_t count;
} bytes_t;

void corpus_add(bytes_t *bytes, const void *more, size_t count);
void corpus_add_byte(bytes_t *bytes, unsigned byte);

/* CORPUS/target/made-name: writes it, or with --check compares it. */
void corpus_write(const char *target, const char *name, const bytes_t *bytes);

/* The inputs of the program's formats (make_corpus_data.c). */
void corpus_make_data(void);

/* Of the encodings in blocks (make_corpus_blocks.c). */
void corpus_make_blocks(void);

/* The inputs of the codes of vectors (make_corpus_codec.c). */
void corpus_make_codec(void);

/* Of the status server (make_corpus_request.c). */
void corpus_make_requests(void);

/* Of rows about members (make_corpus_status.c). */
void corpus_make_status(void);

#endif
