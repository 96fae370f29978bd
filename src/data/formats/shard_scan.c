/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/shard_scan.h"

#include "data/formats/source_format.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The sample whose members are being read. */
typedef struct pending {
    char key[TAR_NAME]; /* "": none has begun */
    bool has_picture, has_label;
    shard_sample_t sample;
} pending_t;

typedef struct scan {
    int file;
    shard_index_t *index;
    char *problem; /* (SHARD_INDEX_PROBLEM) */
    pending_t pending;
} scan_t;

/* The path up to the first dot of the file's name, and what follows the dot, as WebDataset's base_plus_ext. false: there
 * is no dot, or nothing before it. */
static bool split_name(char *name, char **ending) {
    char *slash = strrchr(name, '/'), *file = slash ? slash + 1 : name;
    char *dot = strchr(file, '.');
    if (!dot || dot == file) return false;
    *dot = '\0';
    *ending = dot + 1;
    return true;
}

static bool is_picture(const char *ending) {
    return strcasecmp(ending, "jpg") == 0 || strcasecmp(ending, "jpeg") == 0 ||
           strcasecmp(ending, "png") == 0;
}

static sgp_status_t fail(scan_t *scan, const char *what) {
    snprintf(scan->problem, SHARD_INDEX_PROBLEM, "%.60s %s", scan->pending.key, what);
    return SGP_ERR_FORMAT;
}

/* The sample is complete when a member of another one follows. One of neither picture nor label is none. */
static sgp_status_t end_sample(scan_t *scan) {
    pending_t *pending = &scan->pending;
    if (!pending->has_picture && !pending->has_label) return SGP_OK;
    if (!pending->has_label) return fail(scan, "has a picture, but no label: .cls is missing");
    if (!pending->has_picture) return fail(scan, "has a label, but no .jpg, .jpeg or .png");
    pending->has_picture = pending->has_label = false;
    if (shard_index_add(scan->index, &pending->sample) == SGP_OK) return SGP_OK;
    snprintf(scan->problem, SHARD_INDEX_PROBLEM, "no memory for its index");
    return SGP_ERR_NO_MEMORY;
}

static sgp_status_t read_at(scan_t *scan, uint64_t offset, void *bytes, size_t count) {
    ssize_t got = pread(scan->file, bytes, count, (off_t)offset);
    if (got == (ssize_t)count) return SGP_OK;
    snprintf(scan->problem, SHARD_INDEX_PROBLEM, "cannot be read: %s",
             got < 0 ? strerror(errno) : "it ends early");
    return SGP_ERR_IO;
}

static sgp_status_t take_picture(scan_t *scan, const tar_member_t *member) {
    uint8_t block[TAR_BLOCK];
    pending_t *pending = &scan->pending;
    if (pending->has_picture) return fail(scan, "has two pictures: should be one");
    if (member->size > SOURCE_MOST_BYTES || member->header / TAR_BLOCK >= UINT32_MAX)
        return fail(scan, "is too large, or lies more than 2 TB into the shard");
    sgp_status_t status = read_at(scan, member->header, block, sizeof block);
    if (status) return status;
    pending->has_picture = true;
    pending->sample.block = (uint32_t)(member->header / TAR_BLOCK);
    pending->sample.size = (uint32_t)member->size;
    pending->sample.header = shard_index_hash(block);
    return SGP_OK;
}

static sgp_status_t take_label(scan_t *scan, const tar_member_t *member) {
    char text[16];
    pending_t *pending = &scan->pending;
    if (pending->has_label) return fail(scan, "has two labels: should be one");
    if (member->size == 0 || member->size >= sizeof text)
        return fail(scan, "has a label that is no number: .cls should hold a decimal number");
    sgp_status_t status = read_at(scan, member->header + TAR_BLOCK, text, (size_t)member->size);
    if (status) return status;
    text[member->size] = '\0';
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9 || text[digits + strspn(text + digits, " \r\n")] != '\0')
        return fail(scan, "has a label that is no number: .cls should hold a decimal number");
    pending->has_label = true;
    pending->sample.label = 0;
    for (size_t i = 0; i < digits; i++)
        pending->sample.label = pending->sample.label * 10 + (uint32_t)(text[i] - '0');
    if (pending->sample.label < SOURCE_MAX_CLASSES) return SGP_OK;
    return fail(scan, "has a label above 65535");
}

static sgp_status_t take_member(scan_t *scan, tar_member_t *member) {
    char *ending;
    bool file = member->type == '0';
    if (!split_name(member->name, &ending)) {
        scan->index->ignored += file;
        return SGP_OK;
    }
    sgp_status_t status = SGP_OK;
    if (strcmp(member->name, scan->pending.key) != 0) {
        status = end_sample(scan);
        if (status) return status;
        memcpy(scan->pending.key, member->name, strlen(member->name) + 1);
    }
    bool picture = is_picture(ending), label = strcasecmp(ending, "cls") == 0;
    if ((picture || label) && (member->type == '1' || member->type == '2'))
        return fail(scan,
                    "is a link: should be a file (GNU tar: --hard-dereference --dereference)");
    if (file && picture) return take_picture(scan, member);
    if (file && label) return take_label(scan, member);
    scan->index->ignored += file;
    return SGP_OK;
}

sgp_status_t shard_scan(int file, uint64_t tar_bytes, shard_index_t *index,
                        char problem[SHARD_INDEX_PROBLEM]) {
    tar_reader_t reader = {.file = file, .size = tar_bytes};
    scan_t scan = {.file = file, .index = index, .problem = problem};
    sgp_status_t status;
    index->tar_bytes = tar_bytes;
    for (;;) {
        tar_member_t member;
        bool end;
        status = tar_next(&reader, &member, &end);
        if (status) snprintf(problem, SHARD_INDEX_PROBLEM, "%s", reader.problem);
        if (status || end) break;
        status = take_member(&scan, &member);
        if (status) return status;
    }
    if (!status) status = end_sample(&scan);
    if (status || index->count > 0) return status;
    snprintf(problem, SHARD_INDEX_PROBLEM, "holds no sample: should hold KEY.jpg and KEY.cls, ...");
    return SGP_ERR_FORMAT;
}
