// Joins the plugin to the world of wit/transformer.wit. There is nothing to change here.
import * as host from 'hookbox:transformer/host@1.0.0';
import { component } from './hookbox.js';
import plugin from './plugin';

export const transform = component(plugin, host);
