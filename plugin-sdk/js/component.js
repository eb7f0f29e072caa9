// What becomes the component: a policy that exports no `judge`, or one that `policy` has not made, is refused while it is built.
import "./world.js"; // first, so that there is no other clock for what the policy imports
import { made } from "./weir.js";
import { judge as theirs } from "../policy.js";

export const judge = made(theirs);
