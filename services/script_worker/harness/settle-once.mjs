// @ts-check
/**
 * The only way an outcome leaves: the first settlement counts.
 * @template T
 * @param {(value: T) => void} settle
 * @returns {(value: T) => boolean} true for the call that settled
 */
export function settleOnce(settle) {
  let settled = false;
  return (value) => {
    if (settled) return false;
    settled = true; // before the call: settle may re-enter
    settle(value);
    return true;
  };
}
