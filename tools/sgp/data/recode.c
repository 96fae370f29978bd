/* SPDX-License-Identifier: Apache-2.0 */
#include "data/recode.h"
#include "cli/message.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool fail(const recode_options_t *options, source_split_t split, uint64_t index,
                 const char *reason) {
    char name[SOURCE_NAME_BYTES];
    source_name(options->source, split, index, name);
    message_error("%s: %s", name, reason);
    return false;
}

static bool is_png(const uint8_t *bytes, size_t size) {
    return size >= 8 && memcmp(bytes, "\211PNG\r\n\032\n", 8) == 0;
}

static bool is_jpeg(const uint8_t *bytes, size_t size) {
    return size >= 3 && memcmp(bytes, "\377\330\377", 3) == 0;
}

/* *scaled: without pixels if the bytes can stay as they are. Returns NULL, or why it fails. */
static const char *scale(recode_t *recode, const recode_options_t *options,
                         picture_pixels_t *scaled) {
    const source_shape_t *shape = source_shape(options->source);
    const source_buffer_t *buffer = &recode->buffer;
    picture_pixels_t pixels = {buffer->bytes, shape->width, shape->height, shape->channels};
    *scaled = shape->encoded ? (picture_pixels_t){0} : pixels;
    if (options->resize == 0) return NULL;
    if (!recode->rescale && picture_rescale_create(&recode->rescale)) return "no memory";
    sgp_status_t status =
        shape->encoded ? picture_rescale_file(recode->rescale, buffer->bytes, buffer->size,
                                              options->resize, scaled)
                       : picture_rescale_pixels(recode->rescale, &pixels, options->resize, scaled);
    return status ? picture_rescale_reason(recode->rescale) : NULL;
}

bool recode_sample(recode_t *recode, const recode_options_t *options, source_split_t split,
                   uint64_t index, recode_picture_t *picture) {
    picture_pixels_t scaled;
    source_buffer_t *buffer = &recode->buffer;
    if (source_read(options->source, split, index, buffer))
        return fail(options, split, index, buffer->reason);
    const char *problem = scale(recode, options, &scaled);
    if (problem) return fail(options, split, index, problem);
    if (!scaled.pixels) {
        bool png = is_png(buffer->bytes, buffer->size);
        if (!png && !is_jpeg(buffer->bytes, buffer->size))
            return fail(options, split, index, "it is neither JPEG nor PNG");
        *picture = (recode_picture_t){buffer->bytes, buffer->size, png ? "png" : "jpg"};
        return true;
    }
    size_t size;
    free(recode->encoded);
    recode->encoded = NULL;
    if (picture_encode_jpeg(&scaled, options->quality, &recode->encoded, &size))
        return fail(options, split, index, "no memory to encode it");
    *picture = (recode_picture_t){recode->encoded, size, "jpg"};
    return true;
}

void recode_fini(recode_t *recode) {
    source_buffer_fini(&recode->buffer);
    picture_rescale_destroy(recode->rescale);
    free(recode->encoded);
    *recode = (recode_t){0};
}

void recode_stem(const source_t *source, source_split_t split, uint64_t index,
                 char stem[RECODE_STEM]) {
    char name[SOURCE_NAME_BYTES];
    stem[0] = '\0';
    if (!source_shape(source)->encoded) return;
    source_name(source, split, index, name);
    const char *from = name;
    for (const char *at = name; *at; at++)
        if (*at == '/' || *at == ':') from = at + 1;
    size_t digits = strspn(from, "0123456789");
    if (strcmp(source_format(source), "shards") == 0 && digits == 8 && from[8] == '-')
        from += 9; /* the number that `sgp data pack` has put there */
    char *dot = strrchr(name, '.');
    if (dot && dot > from) *dot = '\0';
    snprintf(stem, RECODE_STEM, "%.*s", RECODE_STEM - 1, from);
    for (char *at = stem; *at; at++)
        if (!isalnum((unsigned char)*at) && *at != '_' && *at != '-') *at = '_';
}
