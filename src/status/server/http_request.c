/* SPDX-License-Identifier: Apache-2.0 */
#include "status/server/http_request.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sodium.h>
#include <string.h>
#include <strings.h>

http_target_t http_target(const char *path) {
    static const char *const paths[] = {"/",        "/members", "/status.json",
                                        "/metrics", "/events",  "/flight"};
    for (int i = 0; i < HTTP_NOTHING; i++)
        if (strcmp(path, paths[i]) == 0) return (http_target_t)i;
    return HTTP_NOTHING;
}

/* ---- Host ---- */

/* ":PORT", or nothing. */
static bool ends_with_port(const char *text) {
    if (!*text) return true;
    size_t digits = strspn(text + 1, "0123456789");
    return *text == ':' && digits >= 1 && digits <= 5 && text[1 + digits] == '\0';
}

bool http_host(const char *header, char name[HTTP_NAME]) {
    bool bracket = *header == '[';
    const char *begin = header + bracket;
    size_t length = strspn(begin, bracket ? "0123456789abcdefABCDEF:."
                                          : "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                            "0123456789.-_");
    if (length == 0 || length >= HTTP_NAME) return false;
    if (bracket && begin[length] != ']') return false;
    if (!ends_with_port(begin + length + bracket)) return false;
    memcpy(name, begin, length);
    name[length] = '\0';
    return true;
}

/* The address of a numeric host; false: it is a name. */
static bool numeric(const char *name, sgp_address_t *address) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    *address = (sgp_address_t){.length = sizeof six};
    if (inet_pton(AF_INET, name, &four.sin_addr) == 1) memcpy(&address->at, &four, sizeof four);
    else if (inet_pton(AF_INET6, name, &six.sin6_addr) == 1) memcpy(&address->at, &six, sizeof six);
    else return false;
    return true;
}

/* The machine's name without its domain. */
static bool is_short_name(const char *name, const char *machine) {
    size_t length = strcspn(machine, ".");
    return strlen(name) == length && strncasecmp(name, machine, length) == 0;
}

bool http_host_allowed(const char *header, const http_names_t *names, const sgp_address_t *local) {
    char name[HTTP_NAME];
    sgp_address_t address;
    if (!http_host(header, name)) return false;
    if (numeric(name, &address))
        return sgp_address_is_loopback(&address) || sgp_address_same_host(&address, local);
    if (strcasecmp(name, "localhost") == 0) return true;
    if (*names->given && strcasecmp(name, names->given) == 0) return true;
    return *names->machine &&
           (strcasecmp(name, names->machine) == 0 || is_short_name(name, names->machine));
}

bool http_same_origin(const char *origin, const char *host) {
    static const char scheme[] = "http://";
    if (!origin) return true;
    return strncasecmp(origin, scheme, sizeof scheme - 1) == 0 &&
           strcasecmp(origin + sizeof scheme - 1, host) == 0;
}

/* ---- other headers ---- */

int http_password(const char *authorization, char password[HTTP_PASSWORD]) {
    unsigned char plain[HTTP_PASSWORD];
    size_t length = 0;
    const char *end;
    if (strncasecmp(authorization, "Basic ", 6) != 0) return -1;
    const char *code = authorization + 6;
    while (*code == ' ') code++;
    if (sodium_base642bin(plain, sizeof plain, code, strlen(code), NULL, &length, &end,
                          sodium_base64_VARIANT_ORIGINAL) != 0)
        return -1;
    const unsigned char *colon = memchr(plain, ':', length);
    if (*end || !colon) return -1;
    size_t count = length - (size_t)(colon + 1 - plain);
    memcpy(password, colon + 1, count);
    sodium_memzero(plain, sizeof plain);
    return (int)count;
}

bool http_wants_open_metrics(const char *accept) {
    return accept && strcasestr(accept, "application/openmetrics-text") != NULL;
}
