/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/idx.h"

#include "base/logging.h"
#include "base/regular.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define HEADER_BYTES(dims) (4 + 4 * (size_t)(dims))
#define MAX_BYTES          ((size_t)1 << 40) /* a header that states more is damaged */
/* Deflate cannot shrink by more than this (zlib's technical details, "maximum compression factor"),
 * which bounds what a compressed file of a given size can hold. */
#define MAX_RATIO 1032

/* A file as a stream of decompressed bytes. zlib's gzread would ignore bytes behind a compressed
 * stream. */
typedef struct source {
    const char *path; /* for messages; borrowed */
    FILE *file;
    size_t file_bytes;
    bool gzip;
    bool between_members; /* a compressed stream has just ended; another may follow */
    int members;          /* compressed streams that have ended */
    z_stream stream;
    uint8_t buffer[1 << 16];
} source_t;

static sgp_status_t fail_read(const source_t *source) {
    return sgp_fail(SGP_ERR_IO, "%s: cannot be read: %s", source->path, strerror(errno));
}

static sgp_status_t source_init(source_t *source, const char *path) {
    source->path = path;
    source->between_members = false;
    source->members = 0;
    char problem[SGP_REGULAR_PROBLEM];
    int descriptor;
    sgp_status_t status = sgp_regular_open(path, &descriptor, problem);
    if (status) return sgp_fail(status, "%s: %s", path, problem);
    source->file = fdopen(descriptor, "rb");
    if (!source->file) {
        close(descriptor);
        return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to read it", path);
    }
    struct stat info;
    size_t start = 0;
    if (fstat(fileno(source->file), &info) != 0) status = fail_read(source);
    else start = fread(source->buffer, 1, 2, source->file);
    if (!status && ferror(source->file)) status = fail_read(source);
    if (status) goto close;
    source->file_bytes = (size_t)info.st_size;
    source->gzip = start == 2 && source->buffer[0] == 0x1f && source->buffer[1] == 0x8b;
    rewind(source->file);
    memset(&source->stream, 0, sizeof source->stream);
    /* 15: any window; + 16: a gzip stream with its checksum. */
    if (source->gzip && inflateInit2(&source->stream, 15 + 16) != Z_OK) {
        status = sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to decompress it", path);
        goto close;
    }
    return SGP_OK;
close:
    fclose(source->file);
    return status;
}

static void source_fini(source_t *source) {
    if (source->gzip) inflateEnd(&source->stream);
    fclose(source->file);
}

/* Sets *more to false at the end of the file. */
static sgp_status_t refill(source_t *source, bool *more) {
    *more = true;
    if (source->stream.avail_in > 0) return SGP_OK;
    source->stream.next_in = source->buffer;
    source->stream.avail_in =
        (unsigned)fread(source->buffer, 1, sizeof source->buffer, source->file);
    if (ferror(source->file)) return fail_read(source);
    *more = source->stream.avail_in > 0;
    return SGP_OK;
}

static sgp_status_t fail_inflate(const source_t *source) {
    if (source->members > 0)
        return sgp_fail(SGP_ERR_FORMAT,
                        "%s: something follows the compressed data that is not gzip: the file "
                        "should end there",
                        source->path);
    return sgp_fail(SGP_ERR_FORMAT, "%s: the compressed data are damaged: %s", source->path,
                    source->stream.msg ? source->stream.msg : "no valid gzip stream");
}

/* Decompresses until `want` bytes are out, or the file ends: then *got is less. A file may hold
 * several compressed streams in a row (RFC 1952, section 2.2). */
static sgp_status_t read_gzip(source_t *source, uint8_t *out, size_t want, size_t *got) {
    z_stream *stream = &source->stream;
    *got = 0;
    while (*got < want) {
        bool more;
        sgp_status_t status = refill(source, &more);
        if (status || !more) return status;
        if (source->between_members) {
            inflateReset(stream);
            source->between_members = false;
        }
        size_t part = want - *got < (1u << 30) ? want - *got : (1u << 30);
        stream->next_out = out + *got;
        stream->avail_out = (unsigned)part;
        int code = inflate(stream, Z_NO_FLUSH);
        *got += part - stream->avail_out;
        if (code == Z_MEM_ERROR)
            return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to decompress it", source->path);
        if (code == Z_STREAM_END) {
            source->between_members = true;
            source->members++;
        } else if (code != Z_OK && code != Z_BUF_ERROR) {
            return fail_inflate(source);
        }
    }
    return SGP_OK;
}

static sgp_status_t source_read(source_t *source, void *out, size_t want, size_t *got) {
    if (source->gzip) return read_gzip(source, out, want, got);
    *got = fread(out, 1, want, source->file);
    return ferror(source->file) ? fail_read(source) : SGP_OK;
}

static uint32_t load_big_endian(const uint8_t *bytes) {
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static sgp_status_t parse_shape(const source_t *source, const uint8_t *bytes,
                                idx_header_t *header) {
    header->bytes = 1;
    for (int i = 0; i < header->dims; i++) {
        header->shape[i] = load_big_endian(bytes + 4 * i);
        if (header->shape[i] == 0)
            return sgp_fail(SGP_ERR_FORMAT, "%s: dimension %d is 0: should be at least 1",
                            source->path, i + 1);
        if (__builtin_mul_overflow(header->bytes, header->shape[i], &header->bytes) ||
            header->bytes > MAX_BYTES)
            return sgp_fail(SGP_ERR_FORMAT,
                            "%s: dimension %d is %u: the data would be larger than a terabyte",
                            source->path, i + 1, header->shape[i]);
    }
    return SGP_OK;
}

/* Refuses a header that states more than the file can hold, before memory is allocated. */
static sgp_status_t check_size(const source_t *source, const idx_header_t *header) {
    size_t limit = source->gzip ? source->file_bytes * MAX_RATIO : source->file_bytes;
    size_t need = header->bytes + HEADER_BYTES(header->dims);
    if (need <= limit) return SGP_OK;
    return sgp_fail(SGP_ERR_FORMAT,
                    "%s: its header says %zu bytes of data, but its %zu bytes cannot hold them: "
                    "truncated or damaged",
                    source->path, header->bytes, source->file_bytes);
}

static sgp_status_t read_header(source_t *source, int dims, idx_header_t *header) {
    uint8_t bytes[HEADER_BYTES(IDX_MAX_DIMS)];
    size_t got;
    sgp_status_t status = source_read(source, bytes, HEADER_BYTES(dims), &got);
    if (status) return status;
    uint32_t wanted = 0x0800u + (uint32_t)dims;
    uint32_t magic = got >= 4 ? load_big_endian(bytes) : 0;
    if (got >= 4 && magic != wanted)
        return sgp_fail(SGP_ERR_FORMAT,
                        "%s: starts with 0x%08x: should be 0x%08x (IDX, unsigned bytes, %d "
                        "dimension%s)",
                        source->path, magic, wanted, dims, dims == 1 ? "" : "s");
    if (got < HEADER_BYTES(dims))
        return sgp_fail(SGP_ERR_FORMAT, "%s: ends after %zu bytes: its header alone takes %zu",
                        source->path, got, HEADER_BYTES(dims));
    header->dims = dims;
    status = parse_shape(source, bytes + 4, header);
    return status ? status : check_size(source, header);
}

static sgp_status_t read_values(source_t *source, const idx_header_t *header, uint8_t *values) {
    size_t got;
    sgp_status_t status = source_read(source, values, header->bytes, &got);
    if (status) return status;
    if (got < header->bytes)
        return sgp_fail(SGP_ERR_FORMAT, "%s: truncated: holds %zu of %zu bytes of data",
                        source->path, got, header->bytes);
    /* Reading past the end also makes zlib compare the checksum. */
    uint8_t extra;
    status = source_read(source, &extra, 1, &got);
    if (status) return status;
    if (got > 0)
        return sgp_fail(SGP_ERR_FORMAT,
                        "%s: something follows its %zu bytes of data: the file should end there",
                        source->path, header->bytes);
    if (source->gzip && !source->between_members)
        return sgp_fail(SGP_ERR_FORMAT,
                        "%s: truncated: the checksum of its compressed data is missing",
                        source->path);
    return SGP_OK;
}

/* values: NULL to read the header alone. */
static sgp_status_t read_file(const char *path, int dims, idx_header_t *header, uint8_t **values) {
    source_t *source = malloc(sizeof *source);
    if (!source) return sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory to read it", path);
    uint8_t *data = NULL;
    idx_header_t found;
    sgp_status_t status = source_init(source, path);
    if (status) goto free_source;
    status = read_header(source, dims, &found);
    if (status) goto fini_source;
    if (values) {
        data = malloc(found.bytes);
        if (data) status = read_values(source, &found, data);
        else
            status =
                sgp_fail(SGP_ERR_NO_MEMORY, "%s: no memory for its %zu bytes", path, found.bytes);
    }
    if (!status) {
        *header = found;
        if (values) *values = data;
        data = NULL;
    }
    free(data);
fini_source:
    source_fini(source);
free_source:
    free(source);
    return status;
}

sgp_status_t idx_read_header(const char *path, int dims, idx_header_t *header) {
    return read_file(path, dims, header, NULL);
}

sgp_status_t idx_read(const char *path, int dims, idx_header_t *header, uint8_t **values) {
    return read_file(path, dims, header, values);
}
