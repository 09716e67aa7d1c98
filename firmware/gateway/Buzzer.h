// One buzzer on any pin. Arduino's tone() does the same for 1.3 KB of flash more, which is a tenth of this sketch.
// As with tone(), it ends PWM on pins 3 and 11 (Uno) or 9 and 10 (Mega), which share its timer.
#pragma once
#include <stdint.h>

void startBuzzer(uint8_t pin, uint16_t hz, uint16_t ms);  // 31 Hz and up; takes the place of a tone that still sounds
void stopBuzzer();                                        // its pin is low then
