// The page: films, what the user may like, and the pipeline behind it.

import { startFilms } from "./films.js";
import { startForYou } from "./foryou.js";
import { startPipeline } from "./pipeline.js";
import { startToken } from "./token.js";
import { startUsers } from "./users.js";

startToken();
startForYou();
startUsers();
startFilms();
startPipeline();
