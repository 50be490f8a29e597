// Starts the parts of the page: the token, recommendations, users, films, and the view of the pipeline.

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
