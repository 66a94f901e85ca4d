"""The shader programs of the figures.

One light with a cast shadow, light from the sky and from the floor, a wide and a narrow highlight, a rim; over it a
mirror of a photo studio for shiny things and a wet coat with drops.
"""

SHADOW_VERTEX = """
#version 330
uniform mat4 from_lamp;
in vec3 position;
void main() { gl_Position = from_lamp * vec4(position, 1.0); }
"""
SHADOW_FRAGMENT = """
#version 330
void main() {}
"""
DRAW_VERTEX = """
#version 330
uniform mat4 view; uniform mat4 projection; uniform mat4 from_lamp;
in vec3 position; in vec3 normal; in vec2 uv; in vec3 rgb; in float finish; in vec3 rest; in float open_;
out vec3 n; out vec3 p; out vec2 t; out vec3 plain; flat out float kind; out vec3 home; out float open; out vec3 seen;
void main() {
  vec4 placed = view * vec4(position, 1.0);
  p = placed.xyz; n = mat3(view) * normal; t = uv; plain = rgb; kind = finish; home = rest; open = open_;
  seen = (from_lamp * vec4(position, 1.0)).xyz * 0.5 + 0.5;
  gl_Position = projection * placed;
}
"""
_DRAW_FRAGMENT = """
const int MARKS = 24;
uniform sampler2D paint; uniform sampler2D depth;
uniform vec3 light; uniform float gloss; uniform float distance_; uniform float reach;
uniform int count; uniform vec4 centres[MARKS]; uniform vec4 stretches[MARKS]; uniform vec4 tints[MARKS];
uniform vec4 band; uniform vec4 band_tint; uniform float band_front;
in vec3 n; in vec3 p; in vec2 t; in vec3 plain; flat in float kind; in vec3 home; in float open; in vec3 seen;
out vec4 color;

float wobble(vec3 q) {
  return sin(q.x * 5.1 + 1.3 * sin(q.y * 4.3)) + sin(q.y * 6.3 + 1.7 * sin(q.z * 3.7)) + sin(q.z * 4.7 + q.x * 3.1);
}

#if MARKED
vec3 marked(vec3 base) {
#if BANDED
  {
    float wave = 0.5 + 0.5 * sin(6.2832 * (dot(home, band.xyz) + 0.07 * wobble(home * 1.6)));
    float edge = fwidth(wave) + 0.10;
    float high = smoothstep(band_tint.w - 0.12, band_tint.w + 0.12, home.y) * (1.0 - smoothstep(band_front - 0.1, band_front + 0.1, home.z));
    base = mix(base, band_tint.rgb, high * smoothstep(1.0 - band.w - edge, 1.0 - band.w + edge, wave));
  }
#endif
  float rag = count > 0 ? 0.2 * wobble(home * 3.0) : 0.0;
  for (int i = 0; i < count; ++i) {
    vec3 away = (home - centres[i].xyz) * stretches[i].xyz;
    vec3 square = away * away, fourth = square * square;
    float box = sqrt(sqrt(dot(fourth, fourth))), ball = dot(away, away);
    float far = sqrt(tints[i].w > 0.5 ? box : ball) + stretches[i].w * rag;
    base = mix(base, tints[i].rgb, 1.0 - smoothstep(1.0 - centres[i].w, 1.0 + centres[i].w, far));
  }
  return base;
}
#endif

float lit_share(vec3 m) {
  float slope = 0.010 + 0.03 * (1.0 - max(dot(m, light), 0.0));
  float total = 0.0;
  for (int i = 0; i < 4; ++i) {
    vec2 tap = vec2((i & 1) == 0 ? -1.0 : 1.0, (i & 2) == 0 ? -1.0 : 1.0) * 0.008;
    total += smoothstep(-0.004, 0.004, texture(depth, seen.xy + tap).r - seen.z + slope);
  }
  return total / 4.0;
}

float box_(vec2 q, vec2 middle, vec2 half_, float soft) {
  vec2 away = abs(q - middle) - half_;
  return 1.0 - smoothstep(-soft, soft, max(away.x, away.y));
}

vec3 studio(vec3 r) {
  vec3 air = mix(vec3(0.30, 0.27, 0.26), vec3(0.86, 0.92, 1.0), smoothstep(-0.35, 0.75, r.y));
  air = mix(air, vec3(0.16, 0.15, 0.17), 0.75 * (1.0 - smoothstep(0.0, 0.16, abs(r.y + 0.02))));
  vec2 q = vec2(atan(r.x, r.z), r.y);
  float lamp = atan(light.x, light.z);
  air += 1.5 * box_(q, vec2(lamp, 0.62), vec2(0.5, 0.2), 0.06);
  air += 0.7 * box_(q, vec2(lamp > 0.0 ? lamp - 1.9 : lamp + 1.9, 0.35), vec2(0.16, 0.4), 0.05);
  return air;
}

#if COAT == 2
vec4 drops(vec3 q) {
  vec3 cell = floor(q - 0.5), best = vec3(0.0);
  float near = 9.0;
  for (int i = 0; i <= 1; ++i)
    for (int j = 0; j <= 1; ++j)
      for (int k = 0; k <= 1; ++k) {
        vec3 c = cell + vec3(i, j, k);
        vec3 h = fract(sin(vec3(dot(c, vec3(127.1, 311.7, 74.7)), dot(c, vec3(269.5, 183.3, 246.1)),
                                dot(c, vec3(113.5, 271.9, 124.6)))) * 43758.5453);
        vec3 away = q - (c + 0.25 + 0.5 * h);
        float far = length(away) / (0.22 + 0.30 * h.x * h.y);
        if (far < near) { near = far; best = away; }
      }
  return vec4(best, near);
}
#endif

void main() {
  vec3 base = plain;
#if TEXTURED
  if (abs(kind - 1.0) < 0.5) base = texture(paint, t).rgb;
#endif
#if MARKED
  if (kind > 2.5) base = marked(base);
#endif
  if (kind > 1.5 && kind < 2.5) { color = vec4(plain, 1.0); return; }
  vec3 eye = normalize(vec3(0.0, 0.0, distance_) - p), m = normalize(n);
  if (dot(m, eye) < 0.0) m = -m;
  float strength = gloss, sharp = 42.0;
  float drop = 0.0;
#if COAT == 2
  {
    vec4 bead = drops(home / reach * 7.5);
    drop = 1.0 - smoothstep(0.86, 1.0, bead.w);
    m = normalize(m + drop * 0.8 * normalize(bead.xyz + 1e-5) * bead.w);
    base = pow(base, vec3(1.3)) * 0.84;
    base *= 1.0 + 0.12 * drop;
    strength = 1.1; sharp = 110.0;
  }
#endif
  float shadow = mix(0.34, 1.0, lit_share(m));
  float wrapped = clamp((dot(m, light) + 0.38) / 1.38, 0.0, 1.0) * shadow;
  float above = 0.5 + 0.5 * m.y;
  vec3 sky = mix(vec3(0.44, 0.40, 0.42), vec3(0.60, 0.61, 0.65), above) * mix(0.45, 1.0, open) * mix(0.86, 1.0, shadow);
  vec3 lit = base * (sky + vec3(0.56, 0.545, 0.51) * wrapped);
  lit += base * base * 0.10 * (1.0 - wrapped) * open;
  vec3 half_ = normalize(light + eye);
  float facing = max(dot(m, eye), 0.0), shine = max(dot(m, half_), 0.0);
  lit += (pow(shine, sharp) * 0.75 + pow(shine, 9.0) * 0.14) * strength * shadow;
  lit += pow(1.0 - facing, 3.0) * (0.06 + 0.16 * above) * open * mix(vec3(1.0), base, 0.35);
#if COAT > 0
  vec3 mirror = studio(reflect(-eye, m));
  float fresnel = 0.05 + 0.95 * pow(1.0 - facing, 5.0);
#if COAT == 1
  vec3 metal = mirror * mix(vec3(1.0), base * 1.15, 0.62) * 1.25;
  lit = mix(lit, metal, 0.55 + 0.3 * fresnel) * mix(0.7, 1.0, open * shadow);
  lit += pow(shine, 160.0) * 1.2;
#else
  lit = mix(lit, mirror, (0.06 + 0.5 * fresnel) * mix(0.5, 1.0, open));
  lit += drop * vec3(0.05);
#endif
#endif
  color = vec4(min(lit, vec3(1.0)), 1.0);
}
"""


def draw_fragment(coat: int, *, marked: bool, banded: bool, textured: bool) -> str:
    """Writes the fragment program for what a surface needs; software drivers run both sides of every branch.

    Args:
        coat: 0 natural, 1 shiny, 2 wet.
        marked: Whether it has patches or stripes.
        banded: Whether it has stripes.
        textured: Whether it has a palette.

    Returns:
        The program's source.
    """
    wanted = {"COAT": coat, "MARKED": int(marked), "BANDED": int(banded), "TEXTURED": int(textured)}
    return "#version 330\n" + "".join(f"#define {name} {value}\n" for name, value in wanted.items()) + _DRAW_FRAGMENT
