/* SPDX-License-Identifier: Apache-2.0 */
/* Of a request to the status server its path and headers, and foreign text as the server shows it: switches, then a text. */
#include "fuzz.h"

#include "status/server/http_request.h"
#include "status/server/render_text.h"

#include <ctype.h>
#include <stdlib.h>

enum { MOST = 4096 };

/* A host that is allowed is one of the names, or numeric. */
static void check_host(const char *text) {
    http_names_t names = {.given = "given.example", .machine = "machine.example"};
    char name[HTTP_NAME];
    sgp_address_t local = {0};
    FUZZ_CHECK(sgp_address_parse("192.0.2.7:1", &local) == SGP_OK);
    bool host = http_host(text, name), allowed = http_host_allowed(text, &names, &local);
    FUZZ_CHECK(host || !allowed);
    if (!host) return;
    FUZZ_CHECK(*name && strlen(name) < sizeof name && strstr(text, name));
    for (const char *at = name; *at; at++)
        FUZZ_CHECK(isalnum((unsigned char)*at) || strchr(".:-_", *at));
    if (!allowed) return;
    static const char *const allowed_names[] = {"localhost", "given.example", "machine.example",
                                                "machine"};
    bool known = strspn(name, "0123456789abcdefABCDEF.:") == strlen(name);
    for (int i = 0; i < 4; i++) known |= strcasecmp(name, allowed_names[i]) == 0;
    FUZZ_CHECK(known);
}

/* A password comes back as base64 wrote it. */
static void check_password(const char *text) {
    char password[HTTP_PASSWORD];
    int length = http_password(text, password);
    FUZZ_CHECK(length >= -1 && length <= HTTP_PASSWORD);
    if (length >= 0) FUZZ_CHECK(strncasecmp(text, "Basic ", 6) == 0);
    FUZZ_CHECK(http_same_origin(text, "a:1") == (strcasecmp(text, "http://a:1") == 0));
    http_target_t target = http_target(text);
    FUZZ_CHECK(target == HTTP_NOTHING || *text == '/');
}

/* Nothing that could end the place where it stands: all of ASCII but the escapes, and whole characters. */
static void check_shown(const char *text) {
    render_t html = {0}, json = {0};
    render_html(&html, text);
    render_json_string(&json, text);
    for (size_t i = 0; i < html.length; i++)
        FUZZ_CHECK(!strchr("<>\"'", html.bytes[i]) && (unsigned char)html.bytes[i] >= 0x20);
    FUZZ_CHECK(json.length >= 2 && json.bytes[0] == '"' && json.bytes[json.length - 1] == '"');
    for (size_t i = 1; i + 1 < json.length; i++) {
        FUZZ_CHECK((unsigned char)json.bytes[i] >= 0x20 && json.bytes[i] != '"');
        if (json.bytes[i] != '\\') continue;
        i++;
        FUZZ_CHECK(i + 1 < json.length && (json.bytes[i] == '\\' || json.bytes[i] == '"'));
    }
    for (size_t i = 0, more = 0; i < json.length; i++) {
        unsigned c = (unsigned char)json.bytes[i];
        FUZZ_CHECK((more > 0) == (c >= 0x80 && c < 0xc0));
        more = more ? more - 1 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : c >= 0xc0 ? 1 : 0;
    }
    render_free(&html);
    render_free(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static char text[MOST + 1];
    fuzz_input_t input = {data, size};
    unsigned switches = fuzz_byte(&input);
    text[fuzz_take(&input, (unsigned char *)text, MOST)] = '\0';
    if (switches & 1) check_host(text);
    if (switches & 2) check_password(text);
    if (switches & 4) check_shown(text);
    return 0;
}
