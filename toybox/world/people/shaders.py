"""The shader programs of people: skin, eyes, hair, cloth and hard things in one light, and the shadow they throw."""

VERTEX = """
#version 330
uniform mat4 camera; uniform mat4 lamp;
in vec3 position; in vec3 normal; in vec3 rest; in vec4 extra;
out vec3 p; out vec3 n; out vec3 r; out vec4 e; out vec3 s;
void main() {
  p = position; n = normal; r = rest; e = extra;
  s = (lamp * vec4(position, 1.0)).xyz * 0.5 + 0.5;
  gl_Position = camera * vec4(position, 1.0);
}
"""
SHADOW_VERTEX = """
#version 330
uniform mat4 lamp; in vec3 position;
void main() { gl_Position = lamp * vec4(position, 1.0); }
"""
SHADOW_FRAGMENT = """
#version 330
void main() {}
"""
_HEAD = """
#version 330
uniform vec3 eye, key, key_rgb, sky, ground, rim, rim_rgb;
uniform vec4 tone, tone2, tone3;  // colors of the part, linear light; their fourth numbers are options of the part
uniform float seed;
uniform sampler2D face; uniform sampler2D grain; uniform sampler2DShadow shade;
in vec3 p; in vec3 n; in vec3 r; in vec4 e; in vec3 s;
out vec4 color;

float open_to_key(float facing) {  // 1 where nothing stands between here and the light
  float sum = 0.0, bias = 0.0025 + 0.006 * (1.0 - clamp(facing, 0.0, 1.0));
  sum += texture(shade, vec3(s.xy + vec2(0.0064, 0.0022), s.z - bias));
  sum += texture(shade, vec3(s.xy + vec2(-0.0022, 0.0064), s.z - bias));
  sum += texture(shade, vec3(s.xy + vec2(-0.0064, -0.0022), s.z - bias));
  sum += texture(shade, vec3(s.xy + vec2(0.0022, -0.0064), s.z - bias));
  sum += texture(shade, vec3(s.xy, s.z - bias));
  return 0.14 + 0.86 * sum / 5.0;
}
vec3 around(vec3 m) { return mix(ground, sky, 0.5 + 0.5 * m.y); }
float lobe(vec3 m, vec3 l, vec3 v, float power) { return pow(max(dot(m, normalize(l + v)), 0.0), power); }
vec3 film(vec3 c) {  // a soft shoulder, then the curve of screens
  c = c * (1.0 + c * 0.12) / (1.0 + c * 0.42);
  return pow(clamp(c, 0.0, 1.0), vec3(1.0 / 2.2));
}
void finish(vec3 c, float alpha) { color = vec4(film(c) * alpha, alpha); }
"""
SKIN = (
    _HEAD
    + """
uniform vec4 lip, brow, scalp;  // scalp.a: how much of the scalp is covered; brow.a: beard's length
void main() {
  vec3 m = normalize(n), v = normalize(eye - p);
  vec2 at = vec2((r.x + 1.1) / 2.2, (r.y - 6.1) / 2.2);
  float front = smoothstep(0.15, 0.45, r.z) ;
  vec4 paint = texture(face, at) * front;  // brow, freckles and moles, beard, blush and age
  float ears = e.z, lips = smoothstep(0.25, 0.75, e.x), inside = smoothstep(0.35, 0.8, e.w);
  float speck = texture(grain, at * 5.0 + seed).r - 0.5;
  vec3 base = tone.rgb * (1.0 + 0.10 * speck);
  float red = clamp(paint.a + 0.30 * ears, 0.0, 1.0);
  base = mix(base, base * vec3(1.02, 0.74, 0.70), red);
  base = mix(base, base * vec3(0.62, 0.47, 0.38), paint.g);
  base = mix(base, lip.rgb * (0.93 + 0.3 * speck), lips * 0.86);
  base = mix(base, mix(base * 0.55, scalp.rgb, 0.55), clamp(paint.b * tone2.a, 0.0, 1.0) * (1.0 - lips));
  // Hair grows behind a line that arches over the brow and falls before the ear.
  float line = 7.98 - 0.20 * smoothstep(0.30, 0.62, abs(r.x)) - 0.75 * smoothstep(0.56, 0.70, abs(r.x)) * (1.0 - smoothstep(0.10, 0.5, r.z));
  line = mix(line, 6.55, smoothstep(0.25, -0.25, r.z));
  float grown = smoothstep(line - 0.07, line + 0.11, r.y + 0.10 * (texture(grain, at * vec2(9.0, 3.0)).r - 0.5)) * (1.0 - ears);
  base = mix(base, scalp.rgb * (0.75 + 0.5 * texture(grain, vec2(r.x, r.z + r.y) * 2.5).r), grown * scalp.a);
  base = mix(base, brow.rgb, paint.r);
  base = mix(base, vec3(0.16, 0.03, 0.03), inside * (1.0 - lips));
  float l = dot(m, key), open = mix(1.0, open_to_key(l), smoothstep(-0.15, 0.2, l));
  vec3 wrap = vec3(0.42, 0.24, 0.18);
  vec3 lit = pow(clamp((l + wrap) / (1.0 + wrap), 0.0, 1.0), vec3(1.25));
  vec3 through = vec3(pow(open, 0.75), open, pow(open, 1.08));
  float sky_seen = max(e.y, 0.62 * smoothstep(0.95, 1.15, r.z) * smoothstep(6.35, 6.6, r.y) * (1.0 - inside));
  float cave = tone3.a * (0.10 + 0.90 * sky_seen) * (1.0 - 0.75 * inside);
  vec3 deep = pow(vec3(0.25 + 0.75 * sky_seen), vec3(0.75, 1.0, 1.1));
  vec3 light = key_rgb * lit * through * mix(vec3(1.0), deep, 0.35) * (1.0 - 0.7 * inside) + around(m) * cave * deep * 1.15;
  float edge = pow(1.0 - max(dot(m, v), 0.0), 3.0);
  light += rim_rgb * clamp(dot(m, rim) + 0.25, 0.0, 1.0) * (0.25 + edge) * sky_seen;
  light += vec3(0.5, 0.10, 0.05) * ears * clamp(dot(-m, rim) * 0.5 + 0.4, 0.0, 1.0) * 0.25;
  float oily = (0.55 + 0.9 * lips + 0.35 * smoothstep(0.5, 0.0, abs(r.x)) * smoothstep(7.0, 7.3, r.y)) * (1.0 - paint.b * 0.6) * (1.0 - grown * scalp.a);
  float shine = 0.055 * lobe(m, key, v, 14.0) + 0.085 * lobe(m, key, v, 46.0) * oily + 0.30 * lobe(m, key, v, 110.0) * lips;
  vec3 c = base * light + key_rgb * shine * open + around(reflect(-v, m)) * (0.02 + 0.16 * edge) * (0.5 + 0.5 * open) * 0.6;
  finish(c, 1.0);
}
"""
)
EYE = (
    _HEAD
    + """
void main() {  // r: where on the eyeball, z along the gaze; e.xyz: the same in the head's axes
  vec3 m = normalize(n), v = normalize(eye - p), d = normalize(r);
  float a = acos(clamp(d.z, -1.0, 1.0)), turn = atan(d.y, d.x);
  float iris = tone.a, pupil = iris * tone2.a;
  float streak = texture(grain, vec2(turn * 1.9, a * 0.35 + seed)).r;
  float t = clamp((a - pupil) / (iris - pupil), 0.0, 1.0);
  vec3 ring = mix(tone2.rgb, tone.rgb, smoothstep(0.0, 0.45, t + 0.25 * (streak - 0.5))) * (0.65 + 0.7 * streak);
  ring *= 1.0 - 0.75 * smoothstep(0.72, 1.0, t);
  ring *= 0.55 + 0.95 * smoothstep(0.5, -0.8, d.y / max(sin(iris), 0.01));  // light falls through the cornea to the far side
  vec3 white = mix(vec3(0.74, 0.73, 0.72), vec3(0.60, 0.42, 0.38), smoothstep(0.75, 1.25, abs(e.x) * 1.2));
  vec3 base = mix(ring, white, smoothstep(iris - 0.035, iris + 0.05, a));
  base = mix(vec3(0.008), base, smoothstep(pupil - 0.04, pupil + 0.04, a));
  float l = dot(m, key), open = open_to_key(l);
  float lid = 1.0 - 0.62 * smoothstep(0.05, 0.62, e.y + 0.25 * e.x * e.x);
  float cave = tone3.a * lid * (1.0 - 0.45 * smoothstep(0.55, 1.0, abs(e.x)));
  vec3 light = key_rgb * clamp((l + 0.35) / 1.35, 0.0, 1.0) * mix(0.35, 1.0, open) * lid + around(m) * cave * 1.15;
  vec3 c = base * light;
  vec3 bounce = reflect(-v, m), window = normalize(key + vec3(0.0, 0.35, 0.55));
  float glint = smoothstep(0.935, 0.965, dot(bounce, window)) * (1.0 - smoothstep(iris * 1.15, iris * 1.6, a));
  c += vec3(1.5) * glint + 0.10 * smoothstep(0.6, 0.9, dot(bounce, normalize(vec3(-key.x, -0.5, 0.8)))) * (1.0 - smoothstep(iris * 0.9, iris, a));
  finish(c, 1.0);
}
"""
)
HAIR = (
    _HEAD
    + """
uniform vec4 crown, axis;  // where the strands come from; crown.a: waves, axis.a: raggedness of the ends in decimetres
void main() {
  vec3 v = normalize(eye - p), m = normalize(n);
  if (dot(m, v) < 0.0) m = -m;
  vec3 rel = r - crown.xyz; float along = dot(rel, axis.xyz); vec3 out_ = rel - along * axis.xyz;
  vec3 side = normalize(cross(axis.xyz, out_) + 1e-5);
  vec3 zero = normalize(cross(axis.xyz, abs(axis.y) > 0.8 ? vec3(0.0, 0.0, 1.0) : vec3(0.0, 1.0, 0.0)));
  float turn = atan(dot(out_, zero), dot(out_, cross(axis.xyz, zero))) / 6.2831853;
  float way = length(rel);
  turn += crown.a * 0.018 * sin(way * 9.0 + 40.0 * texture(grain, vec2(turn * 0.6, seed)).r);
  float fine = texture(grain, vec2(turn * 5.0, way * 0.055 + seed)).r;
  float broad = texture(grain, vec2(turn * 1.2 + 0.37, way * 0.03 + seed)).g;
  if (e.w > 0.5) {  // curls have strands of their own
    fine = clamp(0.5 + 1.6 * (texture(grain, vec2(r.x + 0.6 * r.z, r.y - 0.4 * r.z) * 2.1 + seed).r - 0.5), 0.0, 1.0);
    broad = e.z * 0.8;
  }
  // Bangs end above the eyes, so that a face is never hidden.
  if (r.y < 7.44 + 0.16 * (fine - 0.5) + 0.35 * r.x * r.x && abs(r.x) < 0.64 && r.z > 0.92) discard;
  if (e.x < axis.a * (0.15 + 0.85 * fine) * e.y) discard;
  vec3 t = normalize(cross(side, m));
  m = normalize(m + side * (broad - 0.5) * 0.9 + side * (fine - 0.5) * 0.35);
  float l = dot(m, key), open = mix(1.0, open_to_key(l), smoothstep(-0.2, 0.15, l));
  vec3 base = mix(tone.rgb, tone2.rgb, clamp(0.5 + 1.5 * (broad - 0.5) + 0.8 * (fine - 0.5), 0.0, 1.0));
  base *= (0.72 + 0.5 * fine) * (e.w > 0.5 ? 0.45 + 0.65 * e.z : 1.0);
  vec3 h = normalize(key + v);
  vec3 t1 = normalize(t + m * (0.12 + 0.35 * (fine - 0.5))), t2 = normalize(t + m * (-0.10 + 0.5 * (broad - 0.5)));
  float s1 = pow(max(1.0 - dot(t1, h) * dot(t1, h), 0.0), 38.0), s2 = pow(max(1.0 - dot(t2, h) * dot(t2, h), 0.0), 9.0);
  float facing = clamp((l + 0.30) / 1.30, 0.0, 1.0);
  vec3 light = key_rgb * facing * open + around(m) * tone3.a * (0.62 + 0.38 * e.z);
  float edge = pow(1.0 - max(dot(m, v), 0.0), 2.5);
  vec3 c = base * light * 1.05;
  c += key_rgb * open * facing * (tone3.r * 0.16 * s1 * (0.4 + fine) + 0.55 * base * s2);
  c += rim_rgb * clamp(dot(m, rim) + 0.35, 0.0, 1.0) * edge * (0.35 * base + 0.22 * tone3.r);
  finish(c, 1.0);
}
"""
)
CLOTH = (
    _HEAD
    + """
uniform vec4 legs, shoes;
void main() {  // e.x: how far below the edge of the opening
  if (e.x < 0.0) discard;
  vec3 v = normalize(eye - p), m = normalize(n);
  if (dot(m, v) < 0.0) m = -m;
  float weave = texture(grain, r.xy * vec2(3.1, 3.1) + r.z).r - 0.5;
  float rib = tone3.r > 0.5 ? sin(r.x * 46.0) * 0.5 : 0.0;
  vec3 base = tone.rgb;
  if (tone2.a > 0.5 && tone2.a < 1.5) base = mix(base, tone2.rgb, smoothstep(-0.15, 0.15, sin(r.y * 15.0)));
  if (tone2.a > 1.5) base = mix(base, tone2.rgb, smoothstep(-0.1, 0.1, sin(r.x * 13.0)) * 0.5 + smoothstep(-0.1, 0.1, sin(r.y * 13.0)) * 0.5);
  if (r.y < 0.35 && legs.a > 0.5) { base = legs.rgb; rib = 0.0; }
  if (r.y < -7.35 + 0.25 * smoothstep(0.6, 1.2, r.z) && legs.a > 0.5) base = r.y < -7.98 ? vec3(0.75) : shoes.rgb;
  base *= 1.0 + 0.16 * weave + 0.14 * rib;
  float l = dot(m, key), open = mix(1.0, open_to_key(l), smoothstep(-0.1, 0.2, l));
  vec3 light = key_rgb * clamp((l + 0.18) / 1.18, 0.0, 1.0) * open + around(m) * tone3.a;
  float edge = pow(1.0 - max(dot(m, v), 0.0), 3.0);
  light += rim_rgb * clamp(dot(m, rim) + 0.2, 0.0, 1.0) * edge * 1.2;
  finish(base * light + edge * 0.10 * (base + 0.05) * around(m) + tone.a * key_rgb * lobe(m, key, v, 30.0) * open, 1.0);
}
"""
)
HARD = (
    _HEAD
    + """
void main() {  // teeth, frames, lashes: one color; tone.a: gloss, tone2.a: opacity
  vec3 v = normalize(eye - p), m = normalize(n);
  if (dot(m, v) < 0.0) m = -m;
  float l = dot(m, key), open = mix(1.0, open_to_key(l), smoothstep(-0.1, 0.2, l));
  vec3 light = key_rgb * clamp((l + 0.25) / 1.25, 0.0, 1.0) * mix(tone2.r, 1.0, open) + around(m) * tone3.a;
  float edge = pow(1.0 - max(dot(m, v), 0.0), 4.0);
  vec3 c = tone.rgb * light + tone.a * (lobe(m, key, v, 60.0) * open * key_rgb + around(reflect(-v, m)) * (0.04 + edge) * 0.5);
  finish(c, tone2.a * (1.0 - smoothstep(0.15, 0.95, e.x)));
}
"""
)
FRAGMENTS = {"skin": SKIN, "eye": EYE, "hair": HAIR, "cloth": CLOTH, "hard": HARD}
