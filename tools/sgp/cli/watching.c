/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/watching.h"

#include "cli/message.h"

#include <stdlib.h>
#include <string.h>

#define AT(member) offsetof(watching_t, member)

const option_t watching_rows[] = {
    {.name = "status",
     .argument = "[HOST:]PORT",
     .type = OPTION_STRING,
     .section = SECTION_STATUS,
     .offset = AT(status),
     .shown = "SGP_STATUS, else off",
     .wanted = "a port, or HOST:PORT, such as 8080",
     .help = "serve a page about the whole run at that port, on 127.0.0.1 unless HOST is named; of "
             "the nodes of one machine the lowest serves it",
     .more = "Any node can show it, and it shows all nodes. Another machine reaches a page on "
             "127.0.0.1 by *ssh -L*."},
    {.name = "status-token-file",
     .argument = "FILE",
     .type = OPTION_STRING,
     .section = SECTION_STATUS,
     .offset = AT(token_file),
     .shown = "SGP_STATUS_TOKEN_FILE",
     .wanted = "a file",
     .help =
         "a secret that the page asks for, as the password of HTTP Basic; an address that is not "
         "this machine's own alone needs one",
     .more = "Only its owner may read the file (chmod 600)."},
    {.name = "status-insecure",
     .type = OPTION_FLAG,
     .section = SECTION_STATUS,
     .offset = AT(insecure),
     .help = "show the page to other machines without a token"},
    {0},
};

static bool is_given(const watching_t *watching) {
    const char *text = getenv("SGP_STATUS");
    return watching->status || (text && *text);
}

/* A port, behind the last colon if there is one. */
static bool is_address(const char *text) {
    const char *colon = strrchr(text, ':'), *port = colon ? colon + 1 : text;
    size_t digits = strspn(port, "0123456789");
    if (colon == text || digits == 0 || digits > 5 || port[digits]) return false;
    return atoi(port) <= 65535;
}

bool watching_check(const watching_t *watching) {
    const char *status = watching->status;
    if (status && !is_address(status))
        message_error("--status %s: must be a port from 0 to 65535, or HOST:PORT, such as 8080",
                      status);
    else if (!is_given(watching) && watching->token_file)
        message_error("--status-token-file %s: is for a page, and there is none: --status PORT",
                      watching->token_file);
    else if (!is_given(watching) && watching->insecure)
        message_error("--status-insecure: is for a page, and there is none: --status PORT");
    else if (watching->insecure && watching->token_file)
        message_error("--status-insecure: means no token, but --status-token-file %s gives one",
                      watching->token_file);
    else return true;
    return false;
}

static void export_text(const char *name, const char *text) {
    if (text) setenv(name, text, 1);
}

void watching_export(const watching_t *watching, const char *name) {
    export_text("SGP_STATUS", watching->status);
    export_text("SGP_STATUS_TOKEN_FILE", watching->token_file);
    if (watching->insecure) export_text("SGP_STATUS_INSECURE", "1");
    if (is_given(watching) && name) setenv("SGP_STATUS_NAME", name, 0);
}
