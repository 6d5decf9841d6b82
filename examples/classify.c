/* classify.c - what is in a picture: the smallest program on libsenet.
 *
 *     cc classify.c $(pkg-config --cflags --libs senet) -o classify
 *     ./classify weights.safetensors picture.jpg ...
 */
#include <senet/senet.h>
#include <stdio.h>

enum { SHOWN = 3 };

int main(int count, char **words)
{
    if (count < 3) {
        fprintf(stderr, "usage: %s WEIGHTS PICTURE...\n", words[0]);
        return SENET_USAGE;
    }
    senet_model *model;
    senet_status status = senet_model_load(words[1], NULL, &model);
    for (int i = 2; i < count && status == SENET_OK; i++) {
        senet_prediction top[SHOWN];
        int classes = senet_model_classes(model), shown = classes < SHOWN ? classes : SHOWN;
        status = senet_model_classify_file(model, words[i], shown, top);
        for (int k = 0; k < shown && status == SENET_OK; k++)
            printf("%s: %5.1f%% %s\n", words[i], 100 * top[k].probability, top[k].label ? top[k].label : "(no name)");
    }
    if (status != SENET_OK) fprintf(stderr, "%s\n", senet_last_error());
    senet_model_destroy(model);
    return status;
}
