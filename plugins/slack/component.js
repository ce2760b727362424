// Joins the plugin to the world of wit/transformer.wit. There is nothing to change here.
import * as host from 'hookbox:transformer/host@1.0.0';
import { component } from './hookbox.js';
import * as plugin from './plugin';

export const { transform, check } = component(plugin, host);
