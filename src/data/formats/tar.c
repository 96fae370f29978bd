/* SPDX-License-Identifier: Apache-2.0 */
#include "data/formats/tar.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Fields of a header: where they begin and how long they are. */
enum {
    NAME_AT = 0,
    NAME_BYTES = 100,
    MODE_AT = 100,
    USER_AT = 108,
    GROUP_AT = 116,
    SIZE_AT = 124,
    SIZE_BYTES = 12,
    TIME_AT = 136,
    SUM_AT = 148,
    SUM_BYTES = 8,
    TYPE_AT = 156,
    MAGIC_AT = 257,
    USER_NAME_AT = 265,
    GROUP_NAME_AT = 297,
    PREFIX_AT = 345,
    PREFIX_BYTES = 155
};

/* Bytes of an extended header at most: names are shorter. */
enum { MOST_EXTENDED = 1 << 16 };

/* Values of extended headers, for the next member alone. */
typedef struct extended {
    bool has_name, has_size;
    char name[TAR_NAME];
    uint64_t size;
} extended_t;

__attribute__((format(printf, 3, 4))) static sgp_status_t
fail(tar_reader_t *reader, sgp_status_t status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->problem, sizeof reader->problem, format, arguments);
    va_end(arguments);
    return status;
}

/* Cuts the name, and replaces what a terminal would obey. */
static void set_name(char name[TAR_NAME], const char *text, size_t length) {
    if (length >= TAR_NAME) length = TAR_NAME - 1;
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)text[i];
        name[i] = byte < ' ' || byte == 0x7f ? '?' : text[i];
    }
    name[length] = '\0';
}

/* Octal digits between spaces, ended by a space or a zero byte; or, as GNU tar writes large ones, 0x80 and a binary
 * number of big-endian order. */
static bool parse_number(const uint8_t *field, size_t bytes, uint64_t *value) {
    size_t i = 0;
    *value = 0;
    if (field[0] & 0x80) {
        if (field[0] != 0x80) return false; /* negative, or of more than 64 bits */
        for (i = 1; i < bytes; i++) {
            if (*value >> 56) return false;
            *value = *value << 8 | field[i];
        }
        return true;
    }
    while (i < bytes && field[i] == ' ') i++;
    size_t first = i;
    for (; i < bytes && field[i] >= '0' && field[i] <= '7'; i++)
        *value = *value << 3 | (uint64_t)(field[i] - '0');
    return i > first && (i == bytes || field[i] == ' ' || field[i] == '\0');
}

/* The sum of all bytes, those of the sum itself taken for spaces. */
static uint64_t sum_of(const uint8_t block[TAR_BLOCK]) {
    uint64_t sum = 0;
    for (int i = 0; i < TAR_BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + SUM_BYTES ? ' ' : block[i];
    return sum;
}

bool tar_parse(const uint8_t block[TAR_BLOCK], tar_member_t *member) {
    uint64_t sum;
    if (!parse_number(block + SUM_AT, SUM_BYTES, &sum) || sum != sum_of(block)) return false;
    if (!parse_number(block + SIZE_AT, SIZE_BYTES, &member->size)) return false;
    member->type = block[TYPE_AT] == '\0' ? '0' : (char)block[TYPE_AT];
    char path[PREFIX_BYTES + 1 + NAME_BYTES];
    size_t length = 0;
    /* GNU's own format has "ustar " there and other fields in the place of the prefix. */
    if (memcmp(block + MAGIC_AT, "ustar", 6) == 0)
        length = strnlen((const char *)block + PREFIX_AT, PREFIX_BYTES);
    memcpy(path, block + PREFIX_AT, length);
    if (length > 0) path[length++] = '/';
    size_t name = strnlen((const char *)block + NAME_AT, NAME_BYTES);
    memcpy(path + length, block + NAME_AT, name);
    set_name(member->name, path, length + name);
    return true;
}

static sgp_status_t read_at(tar_reader_t *reader, uint64_t offset, void *bytes, size_t count) {
    uint8_t *next = bytes;
    while (count > 0) {
        ssize_t got = pread(reader->file, next, count, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return fail(reader, SGP_ERR_IO, "cannot be read: %s", strerror(errno));
        if (got == 0) return fail(reader, SGP_ERR_IO, "has become shorter while it was read");
        next += got;
        offset += (uint64_t)got;
        count -= (size_t)got;
    }
    return SGP_OK;
}

static bool is_zero(const uint8_t block[TAR_BLOCK]) {
    for (int i = 0; i < TAR_BLOCK; i++)
        if (block[i]) return false;
    return true;
}

/* Takes path and size from records "LENGTH KEY=VALUE\n". false: malformed. text: (length), then a zero byte. */
static bool parse_records(char *text, size_t length, extended_t *extended) {
    while (length > 0) {
        size_t record = 0, digits = 0;
        for (; digits < length && text[digits] >= '0' && text[digits] <= '9'; digits++)
            if ((record = record * 10 + (size_t)(text[digits] - '0')) > length) return false;
        char *key = text + digits + 1, *end = text + record - 1;
        if (digits == 0 || record < digits + 2 || text[digits] != ' ' || *end != '\n') return false;
        *end = '\0';
        if (strncmp(key, "path=", 5) == 0) {
            set_name(extended->name, key + 5, strlen(key + 5));
            extended->has_name = true;
        } else if (strncmp(key, "size=", 5) == 0) {
            extended->size = 0;
            for (const char *at = key + 5; *at; at++) {
                if (*at < '0' || *at > '9' || extended->size > UINT64_MAX / 16) return false;
                extended->size = extended->size * 10 + (uint64_t)(*at - '0');
            }
            extended->has_size = true;
        }
        text += record;
        length -= record;
    }
    return true;
}

/* The data of an extended header: type 'x' of pax, 'L' of GNU. */
static sgp_status_t read_extended(tar_reader_t *reader, const tar_member_t *header,
                                  extended_t *extended) {
    char text[MOST_EXTENDED + 1];
    if (header->size > MOST_EXTENDED)
        return fail(reader, SGP_ERR_FORMAT, "an extended header of %llu bytes at byte %llu",
                    (unsigned long long)header->size, (unsigned long long)header->header);
    sgp_status_t status = read_at(reader, header->header + TAR_BLOCK, text, (size_t)header->size);
    if (status) return status;
    text[header->size] = '\0';
    if (header->type == 'L') {
        set_name(extended->name, text, strlen(text));
        extended->has_name = true;
    } else if (!parse_records(text, (size_t)header->size, extended)) {
        return fail(reader, SGP_ERR_FORMAT, "a damaged extended header at byte %llu",
                    (unsigned long long)header->header);
    }
    return SGP_OK;
}

/* The header at reader->at, which is moved behind its data. */
static sgp_status_t next_header(tar_reader_t *reader, tar_member_t *member, bool *end,
                                const extended_t *extended) {
    uint8_t block[TAR_BLOCK];
    uint64_t at = reader->at;
    *end = false;
    if (at > reader->size || reader->size - at < TAR_BLOCK)
        return fail(reader, SGP_ERR_FORMAT,
                    "ends at byte %llu without the mark of an end: it was cut or is not finished",
                    (unsigned long long)reader->size);
    sgp_status_t status = read_at(reader, at, block, sizeof block);
    if (status) return status;
    if ((*end = is_zero(block))) return SGP_OK;
    if (!tar_parse(block, member))
        return fail(reader, SGP_ERR_FORMAT, "no header of a tar file at byte %llu",
                    (unsigned long long)at);
    member->header = at;
    /* Extended headers have none themselves. */
    if (extended && extended->has_size && !strchr("xgLK", member->type))
        member->size = extended->size;
    uint64_t left = reader->size - at - TAR_BLOCK;
    if (member->size > left)
        return fail(reader, SGP_ERR_FORMAT,
                    "ends in the middle of %.60s: has %llu of its %llu bytes", member->name,
                    (unsigned long long)left, (unsigned long long)member->size);
    reader->at = at + TAR_BLOCK + tar_padded(member->size);
    return SGP_OK;
}

sgp_status_t tar_next(tar_reader_t *reader, tar_member_t *member, bool *end) {
    extended_t extended = {0};
    for (;;) {
        sgp_status_t status = next_header(reader, member, end, &extended);
        if (status || *end) return status;
        if (member->type == 'x' || member->type == 'L') {
            status = read_extended(reader, member, &extended);
            if (status) return status;
        } else if (member->type != 'g' && member->type != 'K') {
            break;
        }
    }
    if (extended.has_name) memcpy(member->name, extended.name, TAR_NAME);
    return SGP_OK;
}

static void put_octal(uint8_t *field, int digits, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%0*llo", digits, (unsigned long long)value);
    memcpy(field, text, (size_t)digits);
}

bool tar_format(const char *name, uint64_t size, uint64_t time, uint8_t block[TAR_BLOCK]) {
    size_t length = strlen(name);
    if (length == 0 || length > NAME_BYTES || size >> 33 || time >> 33) return false;
    memset(block, 0, TAR_BLOCK);
    memcpy(block + NAME_AT, name, length);
    put_octal(block + MODE_AT, 7, 0444);
    put_octal(block + USER_AT, 7, 0);
    put_octal(block + GROUP_AT, 7, 0);
    put_octal(block + SIZE_AT, 11, size);
    put_octal(block + TIME_AT, 11, time);
    block[TYPE_AT] = '0';
    memcpy(block + MAGIC_AT, "ustar\00000", 8);
    memcpy(block + USER_NAME_AT, "root", 4);
    memcpy(block + GROUP_NAME_AT, "root", 4);
    put_octal(block + SUM_AT, 6, sum_of(block));
    block[SUM_AT + 6] = '\0';
    block[SUM_AT + 7] = ' ';
    return true;
}
