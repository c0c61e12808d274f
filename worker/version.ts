/** Told to the control plane, so that an operator sees which workers are behind. */
export const version = "0.1.0";
