//! The lower convex envelope of points in the plane.

/// The corners of the greatest convex function below `points` (at least two, by increasing x), first and last among
/// them: the lower half of Andrew's monotone chain (Andrew 1979).
pub(super) fn envelope(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut corners: Vec<(f64, f64)> = vec![];
    for &point in points {
        while let [.., a, b] = corners[..] {
            // b stays only where the chain turns left at it, which is where it lies below the chord from a to the point.
            let left = (b.0 - a.0) * (point.1 - a.1) - (b.1 - a.1) * (point.0 - a.0);
            if left > 0.0 {
                break;
            }
            corners.pop();
        }
        corners.push(point);
    }
    corners
}
