//! Scenes for a ray tracer. The first: a plain, a field of spheres and boxes in many finishes, glass and mirrors, three lights.
//!
//! It needs no include file. The upper part of the picture is sky, the middle mirrors and glass, the lower part textured
//! floor: tracing it from top to bottom passes through different work.

use std::fmt::Write;

use crate::random::SplitMix64;

/// About `bytes` of scene; one object takes some 170.
pub(super) fn generate(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let mut scene = String::from(
        "#version 3.7;\nglobal_settings { assumed_gamma 1.0 max_trace_level 8 }\n\
         camera { location <0, 6, -22> look_at <0, 3, 0> angle 50 }\n\
         light_source { <-30, 40, -30> color rgb 0.9 }\n\
         light_source { <30, 30, -10> color rgb <0.4, 0.4, 0.5> area_light <4, 0, 0>, <0, 0, 4>, 3, 3 adaptive 1 }\n\
         light_source { <0, 50, 40> color rgb 0.2 shadowless }\n\
         sky_sphere { pigment { gradient y color_map { [0 rgb <0.8, 0.85, 1>] [1 rgb <0.1, 0.2, 0.6>] } } }\n\
         plane { y, 0 pigment { checker rgb <0.8, 0.7, 0.6>, rgb <0.3, 0.2, 0.2> turbulence 0.1 } normal { bumps 0.3 scale 0.4 } }\n",
    );
    while scene.len() < bytes {
        object(&mut random, &mut scene);
    }
    scene.into_bytes()
}

/// About `bytes` of another scene: blobs, bodies cut out of each other and turned shapes in matt stone and wood, lit
/// through a window of a closed room. No mirrors and no glass: shadows and patterns are what costs.
pub(super) fn sculpture(seed: u64, bytes: usize) -> Vec<u8> {
    let mut random = SplitMix64::new(seed);
    let mut scene = String::from(
        "#version 3.7;\nglobal_settings { assumed_gamma 1.0 }\n\
         camera { location <3, 9, -16> look_at <0, 2, 2> angle 62 }\n\
         light_source { <0, 18, -6> color rgb 0.8 spotlight point_at <0, 0, 4> radius 25 falloff 40 \
         area_light <3, 0, 0>, <0, 0, 3>, 4, 4 adaptive 2 }\n\
         light_source { <-18, 12, -10> color rgb <0.5, 0.4, 0.3> }\n\
         difference { box { <-20, -1, -20>, <20, 22, 20> } box { <-19, 0, -19>, <19, 21, 19> } \
         pigment { brick rgb 0.6, rgb <0.7, 0.4, 0.3> scale 0.3 } }\n",
    );
    while scene.len() < bytes {
        body(&mut random, &mut scene);
    }
    scene.into_bytes()
}

fn body(random: &mut SplitMix64, scene: &mut String) {
    let mut within = |low: f64, high: f64| low + (high - low) * random.unit();
    let (x, z, size) = (within(-9.0, 9.0), within(-6.0, 12.0), within(0.4, 1.3));
    let (tone, scale) = (within(0.2, 0.9), within(0.1, 0.6));
    let components: String = (0..9)
        .map(|_| {
            format!(
                "sphere {{ <{:.3}, {:.3}, {:.3}>, {:.3}, 1 }} ",
                within(-1.0, 1.0),
                within(0.0, 2.5),
                within(-1.0, 1.0),
                within(0.4, 0.9)
            )
        })
        .collect();
    let profile: String =
        (0..6).map(|step| format!(", <{:.3}, {:.3}>", within(0.2, 1.0), f64::from(step) * 0.5)).collect();
    let shape = match random.below(3) {
        0 => format!("blob {{ threshold 0.5 {components}"),
        1 => "difference { box { <-1, 0, -1>, <1, 2, 1> } sphere { <0, 1.2, 0>, 1.2 } cylinder { <-2, 1, 0>, <2, 1, 0>, 0.4 }".to_owned(),
        _ => format!("lathe {{ linear_spline 6{profile}"),
    };
    let pigment =
        ["granite", "wood turbulence 0.1", "agate", "bozo turbulence 0.6 octaves 5", "crackle"][random.below(5)];
    // Writing to a String does not fail.
    let _ = writeln!(
        scene,
        "{shape} pigment {{ {pigment} color_map {{ [0 rgb {tone:.2}] [1 rgb <0.9, 0.8, {tone:.2}>] }} scale {scale:.2} }} \
         normal {{ granite 0.2 scale {scale:.2} }} scale {size:.3} translate <{x:.3}, 0, {z:.3}> }}"
    );
}

fn object(random: &mut SplitMix64, scene: &mut String) {
    let mut within = |low: f64, high: f64| low + (high - low) * random.unit();
    let (x, z, size) = (within(-14.0, 14.0), within(-8.0, 20.0), within(0.2, 1.0));
    let (red, green, blue) = (within(0.1, 1.0), within(0.1, 1.0), within(0.1, 1.0));
    let texture = match random.below(5) {
        0 => "finish { reflection 0.7 specular 0.6 }".to_owned(),
        1 => "finish { specular 0.9 roughness 0.01 } interior { ior 1.5 }".to_owned(),
        2 => "normal { wrinkles 0.6 scale 0.2 } finish { phong 0.5 }".to_owned(),
        _ => "finish { diffuse 0.8 }".to_owned(),
    };
    let filter = if texture.contains("ior") { 0.8 } else { 0.0 };
    let pigment = match random.below(4) {
        0 => format!(
            "pigment {{ granite scale 0.5 color_map {{ [0 rgb <{red:.2}, {green:.2}, {blue:.2}>] [1 rgb 0.9] }} }}"
        ),
        1 => format!(
            "pigment {{ marble turbulence 0.8 color_map {{ [0 rgb 0.1] [1 rgb <{red:.2}, {green:.2}, {blue:.2}>] }} }}"
        ),
        _ => format!("pigment {{ rgbf <{red:.2}, {green:.2}, {blue:.2}, {filter}> }}"),
    };
    let shape = match random.below(4) {
        0 => format!(
            "box {{ <{:.3}, 0, {:.3}>, <{:.3}, {:.3}, {:.3}>",
            x - size,
            z - size,
            x + size,
            2.5 * size,
            z + size
        ),
        1 => format!("torus {{ {size:.3}, {:.3} translate <{x:.3}, {size:.3}, {z:.3}>", size / 3.0),
        _ => format!("sphere {{ <{x:.3}, {size:.3}, {z:.3}>, {size:.3}"),
    };
    // Writing to a String does not fail.
    let _ = writeln!(scene, "{shape} {pigment} {texture} }}");
}
