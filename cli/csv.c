/* csv.c - see csv.h. */
#include "csv.h"

#include <string.h>

void cli_csv_add(sn_text *text, const char *field)
{
    if (!strpbrk(field, ",\"\r\n")) {
        sn_text_add_string(text, field);
        return;
    }
    sn_text_add_char(text, '"');
    for (; *field; field++) {
        if (*field == '"') sn_text_add_char(text, '"');
        sn_text_add_char(text, *field);
    }
    sn_text_add_char(text, '"');
}
